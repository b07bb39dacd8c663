* 45 nm class low-power CMOS, high-k / metal gate: a BSIM4 card of our own for bulk nmos and pmos at 27 C
* Nominal figures (oxide, threshold, mobility, saturation velocity, overlap and junction capacitance) follow
* the published 45 nm low-power generation: W. Zhao and Y. Cao, "New generation of predictive technology
* model for sub-45 nm early design exploration", IEEE TED 53(11), 2006; ptm.asu.edu, 45 nm LP, V2.1.
* Left out against that generation: gate tunnelling, gate and body resistance networks, temperature and noise.
* A run took 0.6..0.9 of the time; circuits/lif_neuron/circuit.toml compares events and energies of both cards.
* Frozen: everything trained depends on these numbers (the tests hold threshold, idle current and swing).

.model nmos nmos level=14 version=4.8
* model selectors: charge model 2, no gate current, no gate or body resistance
+ mobmod=0 capmod=2 rdsmod=0 igcmod=0 igbmod=0 rgatemod=0 rbodymod=0 geomod=1 diomod=1 tnom=27
* oxide, doping, geometry (m, cm^-3)
+ toxe=1.8e-9 toxp=1.5e-9 toxm=1.8e-9 xj=14e-9 wint=5e-9 lint=0 ndep=3.24e18 nsd=2e20 ngate=1e23
* threshold; defaults belong to longer channels. Tried on the neuron: dvt0, dvt1 and pdiblc1 at theirs give a weak
* output and 5 fJ idle steps, the group pscbe1 .. pditsl at theirs 0.7 fJ and another firing pattern
+ vth0=0.62 k1=0.4 k2=0 dvt0=1 dvt1=2 dvt2=0 dvtp0=1e-10 dvtp1=0.1 dsub=0.1 eta0=0.0125 etab=0 lpe0=0 k3=0 w0=2.5e-6
* subthreshold
+ voff=-0.13 nfactor=1.6 cdsc=0 cit=0 minv=0.05
* mobility, velocity saturation, series resistance
+ u0=0.049 ua=6e-10 ub=1.2e-18 uc=0 vsat=1.3e5 a0=1 keta=0.04 rdsw=210 prwg=0
* output conductance
+ pclm=0.02 pdiblc1=0.001 pdiblc2=0.001 pdiblcb=-0.005 drout=0.5 delta=0.01 pscbe1=8.14e8 pscbe2=1e-7 fprout=0.2 pdits=0.08 pditsd=0.23 pditsl=2.3e6
* gate-induced drain leakage
+ agidl=2e-4 bgidl=2.1e9 cgidl=2e-4 egidl=0.8
* overlap and junction capacitance (F/m, F/m^2)
+ cgso=1.1e-10 cgdo=1.1e-10 cgsl=2.65e-10 cgdl=2.65e-10 ckappas=0.03 cjs=5e-4 cjsws=5e-10 cjswgs=3e-10

.model pmos pmos level=14 version=4.8
+ mobmod=0 capmod=2 rdsmod=0 igcmod=0 igbmod=0 rgatemod=0 rbodymod=0 geomod=1 diomod=1 tnom=27
+ toxe=1.82e-9 toxp=1.5e-9 toxm=1.82e-9 xj=14e-9 wint=5e-9 lint=0 ndep=2.44e18 nsd=2e20 ngate=1e23
+ vth0=-0.587 k1=0.4 k2=-0.01 dvt0=1 dvt1=2 dvt2=-0.03 dvtp0=1e-11 dvtp1=0.05 dsub=0.1 eta0=0.0125 etab=0 lpe0=0 k3=0 w0=2.5e-6
+ voff=-0.126 nfactor=1.8 cdsc=0 cit=0 minv=0.05
+ u0=0.021 ua=2e-9 ub=5e-19 uc=0 vsat=9e4 a0=1 keta=-0.047 rdsw=250 prwg=0
+ pclm=0.12 pdiblc1=0.001 pdiblc2=0.001 pdiblcb=0 drout=0.56 delta=0.01 pscbe1=8.14e8 pscbe2=9.58e-7 fprout=0.2 pdits=0.08 pditsd=0.23 pditsl=2.3e6
+ agidl=2e-4 bgidl=2.1e9 cgidl=2e-4 egidl=0.8
+ cgso=1.1e-10 cgdo=1.1e-10 cgsl=2.65e-10 cgdl=2.65e-10 ckappas=0.03 cjs=5e-4 cjsws=5e-10 cjswgs=3e-10
